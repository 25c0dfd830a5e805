//! The pages of a running shop in a real browser. `dev/browser.sh` starts the driver and says where the shop is.
//!
//! Each test is somebody with a browser of one's own; what is seen on the way is kept as screenshots.

mod accessibility;
mod buyer;
mod devtools;
mod kubectl;
mod looks;
mod payments_away;
mod search_rolls;
mod speed;
mod staff;
mod tabs;
mod window;
