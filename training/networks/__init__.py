"""The networks. Forward passes are pure: state goes in and out as tensors, attention weights are returned."""
