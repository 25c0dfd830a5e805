//! Files that are compiled into the program: style, scripts, the icon. Their addresses change with their content, so browsers keep
//! them and never mix two versions.

use std::sync::LazyLock;

use axum::Router;
use memory_serve::{Manifest, MemoryServe};

static ADDRESSES: LazyLock<Manifest> = LazyLock::new(|| files().manifest());

pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    files().into_router()
}

/// Where a file is served: `/style.css` at `/style.<hash>.css`.
pub(crate) fn at(file: &'static str) -> &'static str {
    ADDRESSES.get(file).unwrap_or(file)
}

fn files() -> MemoryServe {
    memory_serve::load!().enable_hashed_routes(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_that_a_page_names_is_there_at_an_address_of_its_content() {
        for file in ["/style.css", "/htmx.min.js", "/live.js", "/icon.svg"] {
            assert_ne!(at(file), file);
        }
    }
}
