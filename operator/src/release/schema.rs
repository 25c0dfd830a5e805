//! What can come back, by what migrations said of the schema. Where nothing is known, everything can. Pure.

use super::state::{REMEMBERED, RevisionId, State};
use crate::api::{PastRelease, SchemaStatus};

impl State {
    /// Why this revision cannot come back: its code does not run on the schema of its database any more.
    pub fn left_behind(&self, revision: &RevisionId) -> Option<String> {
        let (image, version) = self.needs(|past| past.revision == revision.as_str())?;
        self.has_left_behind(image, version)
    }

    /// The same of an image.
    pub fn image_left_behind(&self, image: &str) -> Option<String> {
        let (image, version) = self.needs(|past| past.image == image)?;
        self.has_left_behind(image, version)
    }

    fn has_left_behind(&self, image: &str, version: i64) -> Option<String> {
        let schema = self.schema.as_ref()?;
        let since = match &schema.since {
            Some(migration) => format!("the migration {migration}"),
            None => format!("the migration of {}", schema.image),
        };
        (version < schema.oldest).then(|| {
            format!(
                "{image} needs version {version} of the schema, and since {since} only code runs that needs {} or later",
                schema.oldest
            )
        })
    }

    /// Why what proved itself last could not come back once a migration has left only this version of the schema, or later ones, to code;
    /// or cannot any more.
    pub fn will_be_left_behind(&self, oldest: i64) -> Option<String> {
        let good = self.good.as_ref()?;
        if let Some(why) = self.left_behind(good) {
            return Some(why);
        }
        let (image, version) = self.needs(|past| past.revision == good.as_str())?;
        (version < oldest).then(|| {
            format!(
                "{image} needs version {version} of the schema, and then only code runs that needs {oldest} or later"
            )
        })
    }

    /// The image of a past release, and the version of the schema that its code needs.
    fn needs(&self, is_it: impl Fn(&PastRelease) -> bool) -> Option<(&str, i64)> {
        let mut history = self.history.iter().filter(|past| is_it(past));
        history.find_map(|past| {
            let image = past.image.as_str();
            // The one that migrated last runs, also where it was built anew under its name.
            Some((image, self.version_of(image).or(past.schema)?))
        })
    }

    /// Takes note of what a migration has said. A release may have passed before that was heard.
    pub fn hear(&mut self, schema: SchemaStatus) {
        let unknown = self.history.iter_mut();
        for past in unknown.filter(|past| past.schema.is_none() && past.image == schema.image) {
            past.schema = Some(schema.version);
        }
        self.schema = Some(schema);
    }

    /// What the code of an image needs, where it was the last one to migrate and said so.
    pub(super) fn version_of(&self, image: &str) -> Option<i64> {
        let schema = self.schema.as_ref();
        let of_image = schema.filter(|schema| schema.image == image);
        of_image.map(|schema| schema.version)
    }

    /// Forgets the oldest releases, but what the last good revision needs: there may have been many since that failed.
    pub(super) fn forget_oldest(&mut self) {
        if self.history.len() <= REMEMBERED {
            return;
        }
        let older = self.history.split_off(REMEMBERED);
        let is_good = |past: &PastRelease| {
            past.schema.is_some()
                && self.good.as_ref().map(RevisionId::as_str) == Some(past.revision.as_str())
        };
        if let Some(good) = older.into_iter().find(is_good)
            && !self.history.iter().any(is_good)
        {
            self.history.pop();
            self.history.push(good);
        }
    }
}
