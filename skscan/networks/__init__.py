"""Network parts: heads and small backbones."""
