package mail

import (
	"encoding/hex"
	"strings"
	"unicode"

	"github.com/google/uuid"
)

// Letter is what a mail says, before it is rendered: the fields that its templates name, ready to be shown. None holds what a buyer
// has chosen: an address is not confirmed, and may be a stranger's.
type Letter struct {
	Kind   Kind
	Fields map[string]any
}

// orderNumber is what a buyer can read out on the telephone: the last eight digits of the order's id, which are its random part.
func orderNumber(id uuid.UUID) string {
	return strings.ToUpper(hex.EncodeToString(id[12:]))
}

// The longest line that is shown, in characters.
const longestLine = 200

// OneLine is text on one line, at most 200 characters: control characters (line ends too) and runs of white space become one space.
// Titles and subjects pass through here, so that no text of a stranger can add a header or a line of its own.
func OneLine(text string) string {
	words := strings.FieldsFunc(text, func(c rune) bool {
		return unicode.IsControl(c) || unicode.IsSpace(c) || isFormat(c)
	})
	line := []rune(strings.Join(words, " "))
	return string(line[:min(len(line), longestLine)])
}

// isFormat: characters that are not seen but turn the direction of the text around them or break its line.
func isFormat(c rune) bool {
	return c == 0x2028 || c == 0x2029 || 0x202a <= c && c <= 0x202e || 0x2066 <= c && c <= 0x2069
}
