"""Results of a study: reliability, agreement with judges and metrics, write-up."""
