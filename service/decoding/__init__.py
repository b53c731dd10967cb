"""Decoding: from a step function to hypotheses. numpy only; knows nothing of models, tokens' texts or HTTP."""
