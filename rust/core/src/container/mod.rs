//! What may be put around an image.

pub mod vhd;
