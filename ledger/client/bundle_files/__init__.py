"""What a bundle carries beside its evidence: a guide, and two verifiers that need nothing of this package."""
