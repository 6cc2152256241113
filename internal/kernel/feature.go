// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"sync"
)

// Feature is something the kernel may not have, and what that means.
type Feature struct {
	Name     FeatureName
	Since    Version // first mainline release. It only explains: distributions backport and switch off.
	Lost     string  // what is worse without it
	Fallback string  // what is done instead; empty if nothing
	Advice   string  // how to get it, where a newer kernel is not the answer; may be empty

	// probe uses the feature, on files below dir if it needs some, and undoes what it did.
	// nil: it works. errors.ErrUnsupported: it does not. Anything else: could not tell.
	probe func(dir string) error
}

// FeatureName names a feature for people too.
type FeatureName string

// Support is the answer to whether the kernel has a feature.
type Support int

const (
	SupportUnknown Support = iota // could not tell, for example for want of privileges
	SupportNo
	SupportYes
)

func (s Support) String() string {
	return [...]string{"unknown", "no", "yes"}[s]
}

// Answer is what a probe found. Err is nil with SupportYes only.
type Answer struct {
	Support Support
	Err     error
}

// Features asks the running kernel, each question once: yes and no are kept, "could not
// tell" is asked anew. Its methods may be called concurrently.
type Features struct {
	probes []*probe
}

// probe is a feature with its cache.
type probe struct {
	Feature
	dir string

	mu     sync.Mutex // held while probing, so that it happens once
	answer Answer
}

// NewFeatures asks nothing yet. Probes that need files make them below dir, an existing
// directory on the file system in question, and remove them.
func NewFeatures(dir string) *Features {
	list := featureList()
	f := &Features{probes: make([]*probe, len(list))}
	for i, feature := range list {
		f.probes[i] = &probe{Feature: feature, dir: dir}
	}
	return f
}

// List returns the known features in the order in which to show them.
func (f *Features) List() []Feature {
	list := make([]Feature, len(f.probes))
	for i, p := range f.probes {
		list[i] = p.Feature
	}
	return list
}

// Has reports whether the feature is known to work. Where the caller can as well try the
// call and fall back on its error, that is better: it cannot disagree with the probe.
func (f *Features) Has(name FeatureName) bool {
	return f.Ask(name).Support == SupportYes
}

// Ask returns what is known of a feature, after probing if needed.
func (f *Features) Ask(name FeatureName) Answer {
	for _, p := range f.probes {
		if p.Name == name {
			return p.ask()
		}
	}
	return Answer{Err: errors.New("no probe for a feature named " + string(name))}
}

func (p *probe) ask() Answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.answer.Support != SupportUnknown {
		return p.answer
	}
	answer := Answer{Err: p.probe(p.dir)}
	switch {
	case answer.Err == nil:
		answer.Support = SupportYes
	case errors.Is(answer.Err, errors.ErrUnsupported):
		answer.Support = SupportNo
	}
	p.answer = answer
	return answer
}

// unsupportedError marks the error by which the kernel says that it has no such feature.
type unsupportedError struct{ error }

func (unsupportedError) Is(target error) bool { return target == errors.ErrUnsupported }

func (e unsupportedError) Unwrap() error { return e.error }

// meansNo marks err as a no if it is one of errnos, the ones by which a kernel without the
// feature fails. ENOSYS always is: errno's own Is says so.
func meansNo(err error, errnos ...error) error {
	for _, errno := range errnos {
		if errors.Is(err, errno) {
			return unsupportedError{err}
		}
	}
	return err
}

// meansYes drops err if it is one of errnos, by which the kernel shows that it knows the
// call and merely refuses what was asked.
func meansYes(err error, errnos ...error) error {
	for _, errno := range errnos {
		if errors.Is(err, errno) {
			return nil
		}
	}
	return err
}
