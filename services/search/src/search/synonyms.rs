//! Words that mean the same to a buyer.

/// Each word of a group finds the others, a little below itself. Singular, in the form the analyzer leaves.
const GROUPS: &[&[&str]] = &[
    &["backpack", "rucksack", "knapsack"],
    &["bag", "tote"],
    &["bicycle", "bike"],
    &["blanket", "throw"],
    &["bottle", "flask"],
    &["cap", "hat", "beanie"],
    &["cellphone", "mobile", "phone", "smartphone"],
    &["computer", "pc"],
    &["couch", "settee", "sofa"],
    &["cup", "mug"],
    &["curtain", "drape"],
    &["earbud", "earphone", "headphone", "headset"],
    &["fridge", "refrigerator"],
    &["hoodie", "sweatshirt"],
    &["jacket", "coat", "parka"],
    &["jumper", "pullover", "sweater"],
    &["kettle", "boiler"],
    &["lamp", "light", "lantern"],
    &["laptop", "notebook"],
    &["loudspeaker", "speaker"],
    &["monitor", "screen", "display"],
    &["pan", "skillet"],
    &["pants", "trousers"],
    &["carpet", "rug"],
    &["sneaker", "trainer"],
    &["stove", "cooker"],
    &["television", "tv"],
    &["torch", "flashlight"],
    &["tee", "tshirt"],
    &["toy", "plaything"],
    &["vacuum", "hoover"],
    &["wireless", "cordless"],
];

/// The other words of the groups that `word` is in.
pub(super) fn of(word: &str) -> impl Iterator<Item = &'static str> {
    GROUPS
        .iter()
        .filter(move |group| group.contains(&word))
        .flat_map(|group| group.iter().copied())
        .filter({
            let word = word.to_owned();
            move |other| *other != word
        })
}
