//! `brevet-engine`.
