"""gRPC, with the extra `grpc`: the Open Inference Protocol on a separate port. Imported only if that port is set."""
