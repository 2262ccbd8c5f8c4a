//! An independent judge of Chancery, and a runner that brings it into trouble.
//!
//! Nothing here shares code with the pipeline. The binary is run as a stranger would run it: events are published to the
//! broker, and what an archive would see on the pickup shares is compared with what the broker confirmed.
