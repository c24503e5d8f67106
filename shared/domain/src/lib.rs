//! `brevet-domain`.
