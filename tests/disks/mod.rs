//! The disks stage on loop devices.

mod luks;
