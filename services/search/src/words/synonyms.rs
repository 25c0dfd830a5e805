//! Words that mean the same to a buyer.

/// Each word of a group finds the others, a little below itself. Singular, in the form the analyzer leaves.
const GROUPS: &[&[&str]] = &[
    &["aluminium", "aluminum"],
    &["backpack", "knapsack", "rucksack"],
    &["bicycle", "bike"],
    &["blanket", "throw"],
    &["bottle", "flask"],
    &["carpet", "rug"],
    &["cellphone", "mobile", "phone", "smartphone"],
    &["colour", "color"],
    &["cooker", "stove"],
    &["cordless", "wireless"],
    &["couch", "settee", "sofa"],
    &["cup", "mug"],
    &["curtain", "drape"],
    &["cushion", "pillow"],
    &["diary", "journal"],
    &["doormat", "mat"],
    &["earbud", "earphone", "headphone", "headset"],
    &["flashlight", "torch"],
    &["fridge", "refrigerator"],
    &["gray", "grey"],
    &["hoodie", "sweatshirt"],
    &["jigsaw", "puzzle"],
    &["jumper", "pullover", "sweater"],
    &["lamp", "lantern"],
    &["loudspeaker", "speaker"],
    &["mic", "microphone"],
    &["notebook", "notepad"],
    &["padlock", "lock"],
    &["pan", "skillet"],
    &["pants", "trousers"],
    &["secateurs", "shears"],
    &["sneaker", "trainer"],
    &["tee", "tshirt"],
    &["television", "tv"],
    &["trowel", "spade"],
    &["vacuum", "hoover"],
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
