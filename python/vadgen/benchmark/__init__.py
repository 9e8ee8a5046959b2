"""The study: data sets, backbones and detectors compared on one footing, and its metrics."""
