//! Letters to subject, text and HTML. The templates are part of the binary and read once at start.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};

use crate::letter::{Letter, one_line};
use crate::mail::MailKind;

/// A mail as its reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rendered {
    /// One line.
    pub(crate) subject: String,
    pub(crate) text: String,
    /// A whole page; fetches nothing.
    pub(crate) html: String,
}

/// The templates. A field that a template names and a letter does not have is an error, never an empty place.
pub(crate) struct Renderer {
    templates: Environment<'static>,
    /// The shop's name as mails are signed.
    shop: String,
}

/// Path and content of every template. `.html` is escaped, everything else is not.
const TEMPLATES: [(&str, &str); 14] = [
    ("layout.txt", include_str!("../templates/layout.txt")),
    ("layout.html", include_str!("../templates/layout.html")),
    (
        "welcome/subject.txt",
        include_str!("../templates/welcome/subject.txt"),
    ),
    (
        "welcome/text.txt",
        include_str!("../templates/welcome/text.txt"),
    ),
    (
        "welcome/page.html",
        include_str!("../templates/welcome/page.html"),
    ),
    (
        "order_confirmed/subject.txt",
        include_str!("../templates/order_confirmed/subject.txt"),
    ),
    (
        "order_confirmed/text.txt",
        include_str!("../templates/order_confirmed/text.txt"),
    ),
    (
        "order_confirmed/page.html",
        include_str!("../templates/order_confirmed/page.html"),
    ),
    (
        "order_cancelled/subject.txt",
        include_str!("../templates/order_cancelled/subject.txt"),
    ),
    (
        "order_cancelled/text.txt",
        include_str!("../templates/order_cancelled/text.txt"),
    ),
    (
        "order_cancelled/page.html",
        include_str!("../templates/order_cancelled/page.html"),
    ),
    (
        "order_refunded/subject.txt",
        include_str!("../templates/order_refunded/subject.txt"),
    ),
    (
        "order_refunded/text.txt",
        include_str!("../templates/order_refunded/text.txt"),
    ),
    (
        "order_refunded/page.html",
        include_str!("../templates/order_refunded/page.html"),
    ),
];

impl Renderer {
    /// Reads the templates. An error is a mistake in one of them and ends the start.
    pub(crate) fn new(shop: &str) -> Result<Self, minijinja::Error> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.set_syntax(
            SyntaxConfig::builder()
                .trim_blocks(true)
                .lstrip_blocks(true)
                .build()?,
        );
        for (name, source) in TEMPLATES {
            templates.add_template(name, source)?;
        }
        Ok(Self {
            templates,
            shop: one_line(shop),
        })
    }

    /// Renders a letter. The same letter always gives the same mail.
    pub(crate) fn render(&self, letter: &Letter) -> Result<Rendered, minijinja::Error> {
        let kind = letter.kind();
        let subject = one_line(&self.part(kind, "subject.txt", letter, "")?);
        Ok(Rendered {
            text: self.part(kind, "text.txt", letter, &subject)?,
            html: self.part(kind, "page.html", letter, &subject)?,
            subject,
        })
    }

    fn part(
        &self,
        kind: MailKind,
        part: &str,
        letter: &Letter,
        subject: &str,
    ) -> Result<String, minijinja::Error> {
        self.templates
            .get_template(&format!("{kind}/{part}"))?
            .render(context! { letter => Serde(letter), subject, shop => self.shop.as_str() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::letter::{Item, OrderCancelled, OrderConfirmed, OrderRefunded};

    fn render(letter: &Letter) -> Rendered {
        Renderer::new("Demo").unwrap().render(letter).unwrap()
    }

    fn confirmed(title: &str) -> Letter {
        Letter::OrderConfirmed(OrderConfirmed {
            number: "DEADBEEF".to_owned(),
            items: vec![
                Item {
                    title: title.to_owned(),
                    quantity: 2,
                    line_total: "39.98 EUR".to_owned(),
                },
                Item {
                    title: "Tea".to_owned(),
                    quantity: 1,
                    line_total: "4.50 EUR".to_owned(),
                },
            ],
            total: "44.48 EUR".to_owned(),
        })
    }

    fn all() -> [Letter; 4] {
        [
            Letter::Welcome,
            confirmed("Tea pot"),
            Letter::OrderCancelled(OrderCancelled {
                number: "DEADBEEF".to_owned(),
                reason: "Your payment was declined.",
                total: "44.48 EUR".to_owned(),
            }),
            Letter::OrderRefunded(OrderRefunded {
                number: "DEADBEEF".to_owned(),
                amount: "4.50 EUR".to_owned(),
                refunded: "24.49 EUR".to_owned(),
                total: "44.48 EUR".to_owned(),
            }),
        ]
    }

    #[test]
    fn mails_look_as_they_should() {
        for letter in all() {
            let mail = render(&letter);
            let kind = letter.kind();
            insta::assert_snapshot!(
                format!("{kind}_text"),
                format!("Subject: {}\n\n{}", mail.subject, mail.text)
            );
            insta::assert_snapshot!(format!("{kind}_html"), mail.html);
        }
    }

    #[test]
    fn html_in_titles_is_shown_and_not_run() {
        let mail = render(&confirmed("<b>Tea</b><script>alert(\"1\")</script>"));
        assert!(!mail.html.contains("<b>"), "{}", mail.html);
        assert!(!mail.html.contains("<script"), "{}", mail.html);
        assert!(
            mail.html.contains("&lt;b&gt;Tea&lt;&#x2f;b&gt;"),
            "{}",
            mail.html
        );
        assert!(
            mail.text.contains("<b>Tea</b>"),
            "text is text: {}",
            mail.text
        );
    }

    #[test]
    fn template_syntax_in_titles_is_shown_and_not_run() {
        let mail = render(&confirmed("{{ 7 * 7 }}{% raw %}"));
        assert!(
            mail.text.contains("2 x {{ 7 * 7 }}{% raw %}:"),
            "{}",
            mail.text
        );
    }

    #[test]
    fn pages_fetch_nothing() {
        for letter in all() {
            let html = render(&letter).html;
            for remote in [
                "http:", "https:", "src=", "url(", "<link", "@import", "<script",
            ] {
                assert!(!html.contains(remote), "{remote} in {html}");
            }
        }
    }

    #[test]
    fn a_field_that_is_missing_is_an_error() {
        let renderer = Renderer::new("Demo").unwrap();
        let error = renderer
            .part(MailKind::OrderConfirmed, "text.txt", &Letter::Welcome, "")
            .unwrap_err();
        assert_eq!(error.kind(), minijinja::ErrorKind::UndefinedError);
    }
}
