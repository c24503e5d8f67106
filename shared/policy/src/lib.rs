//! `brevet-policy`.
