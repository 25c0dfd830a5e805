package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// Query reads the parameters of a request. One that is given twice or without a value is refused: whoever leaves out a value by
// mistake must not get everything.
type Query struct {
	values url.Values
	first  *FieldError
}

// QueryOf is that of a request.
func QueryOf(r *http.Request) *Query { return &Query{values: r.URL.Query()} }

// Err is the first that was wrong of what was asked for.
func (q *Query) Err() error {
	if q.first == nil {
		return nil
	}
	return invalid(*q.first)
}

func (q *Query) refuse(name, detail string) {
	if q.first == nil {
		q.first = &FieldError{name, detail}
	}
}

// text is nil where it is missing or wrong.
func (q *Query) text(name string) *string {
	values, given := q.values[name]
	switch {
	case !given:
		return nil
	case len(values) > 1:
		q.refuse(name, "is given more than once")
		return nil
	case values[0] == "":
		q.refuse(name, "must not be empty: leave it out instead")
		return nil
	}
	return &values[0]
}

// UUID is nil where it is missing or wrong.
func (q *Query) UUID(name string) *uuid.UUID {
	text := q.text(name)
	if text == nil {
		return nil
	}
	id, err := uuid.Parse(*text)
	if err != nil {
		q.refuse(name, "must be a UUID such as 0192d5a4-7c1e-7b3a-9c55-2f6d1e8a4b01")
		return nil
	}
	return &id
}

// Word is one of these; nil where it is missing or wrong.
func (q *Query) Word(name string, words []string) *string {
	text := q.text(name)
	if text != nil && !slices.Contains(words, *text) {
		q.refuse(name, "must be one of "+strings.Join(words, ", "))
		return nil
	}
	return text
}

// Number is from least to most, and otherwise where it is missing.
func (q *Query) Number(name string, otherwise, least, most int) int {
	text := q.text(name)
	if text == nil {
		return otherwise
	}
	number, err := strconv.Atoi(*text)
	if err != nil || number < least || number > most {
		q.refuse(name, fmt.Sprintf("must be a whole number from %d to %d", least, most))
		return otherwise
	}
	return number
}

// PathID is the id in the path. One that is none is no resource of ours.
func PathID(r *http.Request) (uuid.UUID, error) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return id, NotFound("There is nothing at this path: nothing has a name like that.")
	}
	return id, nil
}
