//! `brevet-api`.
