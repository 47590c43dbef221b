"""One LightningDataModule for each dataset."""
