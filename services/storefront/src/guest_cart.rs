//! What a guest has in the cart, as a cookie holds it: `sku:2/sku:1`.

/// A cookie has 4096 bytes; a line has at most 68 of them.
const MOST_LINES: usize = 20;
/// As orders has it.
pub(crate) const MOST_UNITS: u32 = 99;

/// The cart of somebody who is not logged in. Prices are asked for when it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GuestCart {
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) sku: String,
    pub(crate) quantity: u32,
}

/// It holds as many lines as it may.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl GuestCart {
    /// What is no line is left out: a visitor may write what he wants into his cookies.
    pub(crate) fn parse(text: &str) -> Self {
        let mut cart = Self::default();
        for line in text.split('/') {
            let Some((sku, quantity)) = line.split_once(':') else {
                continue;
            };
            if let Ok(quantity) = quantity.parse() {
                // More than fit are left out too.
                let _ = cart.set(sku, quantity);
            }
        }
        cart
    }

    pub(crate) fn text(&self) -> String {
        let lines = self.lines.iter();
        let lines: Vec<_> = lines
            .map(|Line { sku, quantity }| format!("{sku}:{quantity}"))
            .collect();
        lines.join("/")
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Units of all lines.
    pub(crate) fn units(&self) -> u32 {
        self.lines.iter().map(|line| line.quantity).sum()
    }

    pub(crate) fn quantity(&self, sku: &str) -> u32 {
        let line = self.lines.iter().find(|line| line.sku == sku);
        line.map_or(0, |line| line.quantity)
    }

    /// Sets how many of a product are wanted; none takes it out.
    pub(crate) fn set(&mut self, sku: &str, quantity: u32) -> Result<(), Full> {
        if !is_sku(sku) {
            return Ok(());
        }
        let at = self.lines.iter().position(|line| line.sku == sku);
        let quantity = quantity.min(MOST_UNITS);
        match (at, quantity) {
            (Some(at), 0) => drop(self.lines.remove(at)),
            (Some(at), _) => self.lines[at].quantity = quantity,
            (None, 0) => {}
            (None, _) if self.lines.len() >= MOST_LINES => return Err(Full),
            (None, _) => self.lines.push(Line {
                sku: sku.to_owned(),
                quantity,
            }),
        }
        Ok(())
    }
}

/// As the catalogue names products; what else stands in a path is for `search` to judge.
pub(crate) fn is_sku(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=64).contains(&text.len())
        && text.chars().all(fits)
        && !matches!(text, "." | ".." | "import")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cart_is_what_was_written() {
        let mut cart = GuestCart::default();
        cart.set("mug-blue", 2).unwrap();
        cart.set("LAMP.1", 1).unwrap();
        cart.set("mug-blue", 3).unwrap();
        assert_eq!(cart.text(), "mug-blue:3/LAMP.1:1");
        assert_eq!(GuestCart::parse(&cart.text()), cart);
        assert_eq!((cart.units(), cart.quantity("LAMP.1")), (4, 1));
        cart.set("mug-blue", 0).unwrap();
        assert_eq!(cart.text(), "LAMP.1:1");
    }

    #[test]
    fn what_is_no_line_is_left_out_and_what_is_too_much_is_bounded() {
        let cart = GuestCart::parse("mug:1/../:2/a b:1/x:-1/lamp:4000/import:1/mug");
        assert_eq!(cart.text(), "mug:1/lamp:99");
    }

    #[test]
    fn a_cookie_never_outgrows_what_a_browser_keeps() {
        let mut cart = GuestCart::default();
        let sku = |n| format!("{n:0>64}");
        for n in 0..MOST_LINES {
            cart.set(&sku(n), 99).unwrap();
        }
        assert_eq!(cart.set(&sku(99), 1), Err(Full));
        assert_eq!(cart.set(&sku(0), 1), Ok(()), "a line that is there");
        assert!(cart.text().len() < 2000, "{}", cart.text().len());
    }
}
