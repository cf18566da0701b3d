//! Disks that are image files: looking at them without attaching them, and attaching them.
//!
//! An image has the names that the config has for its disk. Links that udev would make lead to what is on the images and to
//! nothing else.

mod attached;
mod file;
mod links;
mod unattached;

pub use attached::{AttachError, AttachedImages};
pub use file::{ImageFile, OpenError};
pub use unattached::ImageDevices;
