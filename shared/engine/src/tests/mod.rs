//! Tests of the use cases over fakes.

mod asking;
mod attaching;
mod break_glass;
mod delegating;
mod drilling;
mod ending;
mod hostile;
mod invariants;
mod killing;
mod leavers;
mod managed;
mod offering;
mod overdue;
mod quorum;
mod rehearsing;
mod renewing;
mod restored;
mod scheduled;
mod single_fault;
mod steps;
mod stubborn;
mod sweeping;
mod together;
mod vending;
mod world;
