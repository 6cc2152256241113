// SPDX-License-Identifier: Apache-2.0

package talk

import (
	"fmt"
	"strconv"
	"time"
)

// Script is what a program does.
type Script struct {
	Seed uint64
	Page string        // path of its page
	Pace time.Duration // mean time between two writes
	// Voices is how many streams it uses: 1 where both are one terminal, otherwise 2.
	Voices int
	// Life is how long it goes on by itself; 0 is until it is told to end.
	Life time.Duration
	// Status is what it ends with after Life: an exit code, or 128 plus the signal that it sends itself.
	Status int
	// Term is the exit code after SIGTERM; -1 ignores the signal.
	Term int
}

// Args are the arguments of the command "payload talk".
func (s *Script) Args() []string {
	return []string{
		"talk", s.Page, strconv.FormatUint(s.Seed, 10), s.Pace.String(), strconv.Itoa(s.Voices),
		s.Life.String(), strconv.Itoa(s.Status), strconv.Itoa(s.Term),
	}
}

// Parse reads what follows the first of Args.
func Parse(args []string) (*Script, error) {
	if len(args) != 7 {
		return nil, fmt.Errorf("want PAGE SEED PACE VOICES LIFE STATUS TERM, not %q", args)
	}
	s := &Script{Page: args[0]}
	var errs [6]error
	s.Seed, errs[0] = strconv.ParseUint(args[1], 10, 64)
	s.Pace, errs[1] = time.ParseDuration(args[2])
	s.Voices, errs[2] = strconv.Atoi(args[3])
	s.Life, errs[3] = time.ParseDuration(args[4])
	s.Status, errs[4] = strconv.Atoi(args[5])
	s.Term, errs[5] = strconv.Atoi(args[6])
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}
