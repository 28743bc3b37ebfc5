//! lumiface: photographs of a face under three or more lights in; normals, albedo and depth out;
//! multi-task face recognition trained on them; gallery answers with honest statistics.

pub mod calibrate;
pub mod capture;
pub mod cli;
pub mod config;
pub mod dataset;
pub mod eval;
pub mod face;
pub mod gallery;
pub mod geometry;
pub mod gpu;
pub mod integrate;
pub mod io;
pub mod loss;
pub mod maps;
pub mod model;
mod order_statistics;
pub mod pipeline;
pub mod quality;
pub mod reconstruct;
pub mod register;
pub mod report;
pub mod stereo;
pub mod synth;
pub mod train;
