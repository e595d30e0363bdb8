"""torchferry: PyTorch services, from variants.yaml to an archive that an offline server loads."""

__version__ = "0.1.0"
