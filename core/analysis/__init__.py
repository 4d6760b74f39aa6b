"""Arithmetic on traces: rules, exact sweeps, thresholds, calibration, uncertainty. numpy and scipy only."""
