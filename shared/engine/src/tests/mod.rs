//! Tests of the use cases over fakes.

mod behaviour;
mod single_fault;
mod world;
