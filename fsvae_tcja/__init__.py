"""Fully-spiking variational autoencoder with temporal-channel joint attention."""

from .vae import FSVAE, LATENTS, READOUTS, Bernoulli, FSVAEConfig, FSVAEOutput, TCJAConfig, load, save

__version__ = "0.1.0"
__all__ = ["FSVAE", "LATENTS", "READOUTS", "Bernoulli", "FSVAEConfig", "FSVAEOutput", "TCJAConfig", "load", "save"]
