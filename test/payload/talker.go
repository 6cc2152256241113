// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/sardine-run/sardine/test/payload/talk"
)

// speakLines prints what its script says on both streams until its life is over or it is told to
// end, and keeps its page.
func speakLines(args []string) error {
	script, err := talk.Parse(args)
	if err != nil {
		return err
	}
	page, err := talk.OpenPage(script.Page)
	if err != nil {
		return err
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	if script.Term < 0 {
		told = nil // not signal.Ignore, which signal.Reset does not undo
	}
	page.Began.Store(1)
	stop := make(chan struct{})
	var voices sync.WaitGroup
	for stream := range min(script.Voices, len(talk.Streams)) {
		voices.Go(func() { speak(script, page, stream, stop) })
	}
	status := awaitEnd(script, told)
	close(stop)
	voices.Wait()
	end(page, status)
	return nil
}

// awaitEnd returns the status to end with.
func awaitEnd(script *talk.Script, told <-chan os.Signal) int {
	life := time.After(script.Life)
	if script.Life == 0 {
		life = time.After(24 * time.Hour)
	}
	select {
	case <-life:
		return script.Status
	case <-told:
		return script.Term
	}
}

func speak(script *talk.Script, page *talk.Page, stream int, stop <-chan struct{}) {
	voice := talk.NewVoice(script.Seed, stream)
	written := &page.Streams[stream]
	for {
		text, pause := voice.Next()
		written.Begun.Add(uint64(len(text)))
		if !write(stream+1, text, written) {
			return
		}
		select {
		case <-stop:
			return
		case <-time.After(talk.Pause(script.Pace, pause)):
		}
	}
}

// write writes all of text and counts what the kernel has taken. It reports false when nobody
// will ever read.
func write(fd int, text []byte, written *talk.Written) bool {
	for len(text) > 0 {
		n, err := syscall.Write(fd, text)
		if err == syscall.EINTR || err == syscall.EAGAIN {
			continue
		}
		if err != nil {
			return false
		}
		written.Done.Add(uint64(n))
		text = text[n:]
	}
	return true
}

// end ends the process with a status like a shell's.
func end(page *talk.Page, status int) {
	page.Claim.Store(uint64(status) + 1)
	if status > 128 {
		fatal := syscall.Signal(status - 128)
		signal.Reset(fatal)
		_ = syscall.Kill(os.Getpid(), fatal)
		time.Sleep(time.Hour)
	}
	os.Exit(status)
}
