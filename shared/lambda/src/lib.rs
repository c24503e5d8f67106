//! `brevet-lambda`.
