//! A body as lines, one after the other, however it arrives in pieces and however long its lines are.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// The longest line that is kept, in bytes. The largest product has 5 000 + 50 × 250 characters and some.
pub(super) const LONGEST: usize = 128 * 1024;

/// A line and its number, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: u64,
    /// Without the line end; `None` for a line longer than [`LONGEST`], whose bytes were dropped as they came.
    pub(super) bytes: Option<Vec<u8>>,
}

pub(super) struct Lines<R> {
    reader: R,
    number: u64,
    read: usize,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            number: 0,
            read: 0,
        }
    }

    /// Bytes read so far.
    pub(super) fn read(&self) -> usize {
        self.read
    }

    /// The next line; `None` at the end. A last line need not end.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let mut length = 0;
        loop {
            let piece = self.reader.fill_buf().await?;
            if piece.is_empty() && length == 0 {
                return Ok(None);
            }
            let (part, ended) = match piece.iter().position(|byte| *byte == b'\n') {
                Some(end) => (&piece[..end], true),
                None => (piece, piece.is_empty()),
            };
            length += part.len();
            if length <= LONGEST {
                bytes.extend_from_slice(part);
            }
            let used = part.len() + usize::from(ended && !piece.is_empty());
            self.reader.consume(used);
            self.read += used;
            if ended {
                self.number += 1;
                return Ok(Some(Line {
                    number: self.number,
                    bytes: (length <= LONGEST).then_some(bytes),
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::BufReader;

    use super::*;

    async fn all(body: &[u8], piece: usize) -> Vec<Line> {
        let mut lines = Lines::new(BufReader::with_capacity(piece, body));
        let mut all = vec![];
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        assert_eq!(lines.read(), body.len());
        all
    }

    #[tokio::test]
    async fn an_overlong_line_is_dropped_and_the_next_one_is_whole() {
        let body = [b"a\n".as_slice(), &vec![b'x'; LONGEST + 1], b"\nb"].concat();
        let lines = all(&body, 1000).await;
        let short: Vec<_> = lines
            .iter()
            .map(|line| (line.number, line.bytes.as_deref()))
            .collect();
        assert_eq!(
            short,
            [
                (1, Some(b"a".as_slice())),
                (2, None),
                (3, Some(b"b".as_slice()))
            ]
        );
    }

    proptest! {
        #[test]
        fn lines_are_the_same_in_whatever_pieces_they_come(body in "[ab\n]{0,30}", piece in 1_usize..8) {
            let lines = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(all(body.as_bytes(), piece));
            let found: Vec<_> = lines.iter().map(|line| String::from_utf8(line.bytes.clone().unwrap()).unwrap()).collect();
            let expected: Vec<_> = body.split_terminator('\n').map(str::to_owned).collect();
            prop_assert_eq!(found, expected);
            prop_assert!(lines.iter().zip(1..).all(|(line, number)| line.number == number));
        }
    }
}
