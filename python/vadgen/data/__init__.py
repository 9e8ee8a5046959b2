"""Pictures in: folders, data sets, the demo set, painted defects."""
