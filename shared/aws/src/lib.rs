//! `brevet-aws`.
