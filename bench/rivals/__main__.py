import sys

from bench.rivals import SERVERS

if __name__ == "__main__":  # servers start processes, which import this again
    SERVERS[sys.argv[1]](int(sys.argv[2]))
