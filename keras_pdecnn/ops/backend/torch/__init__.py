"""PyTorch: an `autograd.Function` whose backward pass undoes the steps."""
