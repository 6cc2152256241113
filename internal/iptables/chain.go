// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// DeleteChain deletes a chain and what jumps to it from other chains. nil when it is not there.
func DeleteChain(ctx context.Context, p *Program, table, chain string, from ...string) error {
	for _, entry := range from {
		if err := deleteJumps(ctx, p, table, entry, chain); err != nil {
			return err
		}
	}
	if err := p.ClearAndDeleteChain(table, chain); err != nil && !IsNotExist(err) {
		return err
	}
	return nil
}

// deleteJumps finds rules by what they jump to and deletes them by what they say: their numbers may change meanwhile.
func deleteJumps(ctx context.Context, p *Program, table, from, chain string) error {
	rules, err := p.List(table, from)
	if err != nil {
		if Status(err) == 1 {
			return nil // there is no such chain
		}
		return err
	}
	for _, rule := range rules {
		words, err := split(rule)
		if err != nil {
			continue // nothing that a plugin wrote
		}
		if len(words) < 4 || words[0] != "-A" || !jumpsTo(words, chain) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		// 2: a word of the rule is gone already, its chain for example.
		err = p.Delete(table, from, words[2:]...)
		if err != nil && !IsNotExist(err) && Status(err) != 2 {
			return fmt.Errorf("failed to delete referring rule %s %s: %w", table, from, err)
		}
	}
	return nil
}

func jumpsTo(words []string, chain string) bool {
	i := slices.Index(words, "-j")
	return i >= 0 && i+1 < len(words) && words[i+1] == chain
}

// split takes a rule as iptables-save(8) prints it apart: words between spaces, some of them in double quotes, where a backslash
// stands before quotes and backslashes.
func split(rule string) ([]string, error) {
	var words []string
	var word strings.Builder
	inside, quoted, escaped := false, false, false
	for _, c := range []byte(rule) {
		switch {
		case escaped:
			word.WriteByte(c)
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted, inside = !quoted, true
		case c == ' ' && !quoted:
			if inside {
				words = append(words, word.String())
			}
			word.Reset()
			inside = false
		default:
			word.WriteByte(c)
			inside = true
		}
	}
	if quoted || escaped {
		return nil, errors.New("quotes that do not end")
	}
	if inside {
		words = append(words, word.String())
	}
	return words, nil
}
