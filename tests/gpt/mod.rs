//! Partition tables against `sgdisk`, the program that Ignition runs: the same tables from the same requests, and one whole copy at every
//! instant of writing.

mod cases;
mod cuts;
mod disk;
mod generate;
mod kernel;
mod property;
mod upstream;
