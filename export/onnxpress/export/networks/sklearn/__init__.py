"""scikit-learn: fitted estimators and pipelines behind the seam."""
