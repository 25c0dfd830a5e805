//! A search that takes too long ends, and says so.

use std::time::Duration;

use super::*;

#[test]
fn a_search_that_is_cut_off_stops_collecting_and_is_marked() {
    let entries: Vec<_> = (0..5000)
        .map(|n| product(&format!("L-{n}"), "Desk Lamp"))
        .collect();
    let index = index(&entries);
    let (cutoff, abandoned) = cutoff();
    let whole = run(&index, &request("lamp"), &cutoff).unwrap();
    assert_eq!((whole.total, whole.partial), (5000, false));

    abandoned.cancel();
    for q in ["lamp", "", "desk lamp nowhere"] {
        let page = run(&index, &request(q), &cutoff).unwrap();
        assert!(
            page.partial && page.total < 5000,
            "{q}: {} found",
            page.total
        );
    }
}

/// The clock is looked at on the way, not only at the start of a segment: with more and more time a search comes by which is
/// cut off in the middle.
#[test]
fn a_search_is_cut_off_while_it_collects() {
    let entries: Vec<_> = (0..5000)
        .map(|n| product(&format!("L-{n}"), "Desk Lamp"))
        .collect();
    let index = index(&entries);
    assert_eq!(index.searcher().segment_readers().len(), 1);
    let totals = (0..10_000).map(|step| {
        let cutoff = Cutoff::after(Duration::from_micros(50 * step));
        run(&index, &request("lamp"), &cutoff).unwrap().total
    });
    let cut_off = totals.into_iter().find(|total| (1..5000).contains(total));
    assert!(cut_off.is_some());
}
