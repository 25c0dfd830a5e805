package smtp

import (
	"slices"
	"strconv"
	"strings"
)

// Whom a refusal for good (5xx) is about: us, who send, or this one mail. Servers do not agree on codes. 550 is an unknown
// recipient here and "relaying denied" there; many judge the sender only when they hear the recipient. So a refusal counts as a
// recipient's only where it says so; what is not clear is decided later, by whether the server takes other mails.

// stage is how far the mail got.
type stage int

const (
	// MAIL FROM: the server knows the sender and nothing of the mail.
	sender stage = iota
	// RCPT TO.
	recipient
	// DATA and its end.
	content
)

// about says what a refusal with this code, and this text behind the code, means.
func about(at stage, code int, text string) Outcome {
	if slices.Contains([]int{530, 534, 535, 538}, code) {
		return LogInRefused
	}
	if at == sender {
		return SenderRefused
	}
	subject, detail, isEnhanced := enhanced(text)
	if !isEnhanced {
		ofMail := at == content && code == 552 ||
			at == recipient && 550 <= code && code <= 553 && !speaksOfSender(text)
		if ofMail {
			return Refused
		}
		return RefusedUnclear
	}
	is := func(s int, details ...int) bool {
		return subject == s && (len(details) == 0 || slices.Contains(details, detail))
	}
	switch {
	case is(1, 7, 8): // the sender's address or its domain
		return SenderRefused
	// The recipient's address, mailbox or route; the size or form of this mail.
	case is(1), is(2), at == recipient && is(4, 1, 4, 6), at == content && is(6), at == content && is(3, 4):
		return Refused
	}
	return RefusedUnclear
}

// enhanced reads the enhanced status code (RFC 3463) that a text begins with, without its class.
func enhanced(text string) (subject, detail int, ok bool) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return 0, 0, false
	}
	numbers := strings.SplitN(strings.TrimLeft(words[0], "#"), ".", 4)
	if len(numbers) < 3 || numbers[0] != "5" {
		return 0, 0, false
	}
	s, err1 := strconv.ParseUint(numbers[1], 10, 16)
	d, err2 := strconv.ParseUint(numbers[2], 10, 16)
	return int(s), int(d), err1 == nil && err2 == nil
}

// speaksOfSender: words by which servers without enhanced codes tell that it is not the recipient.
func speaksOfSender(text string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc([]string{"relay", "sender", "authentic", "not permitted", "not allowed", "denied", "policy", "block",
		"spam", "helo"}, func(word string) bool { return strings.Contains(text, word) })
}
