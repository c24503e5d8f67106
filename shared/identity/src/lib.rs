//! `brevet-identity`.
