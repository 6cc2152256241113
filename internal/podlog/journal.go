// SPDX-License-Identifier: Apache-2.0

package podlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// journal is a file on tmpfs by which the next daemon finds out how far this one came when
// it was killed. Each byte of a container is in one of three places: its FIFO, the start of a
// line in the journal, or the log file. A byte goes from one to the next by two system calls, and
// a record tells which of them were made.
//
// The first page is mapped: records of eight words, one per bench, the first one the file's
// head. Behind it lie starts of lines, each in a place of its own of the same size.
//
// A nil journal keeps nothing.
type journal struct {
	file    *os.File
	page    []byte
	records [][]uint64
	limit   int

	mu     sync.Mutex
	free   []int // records
	places []int // free ones
	count  int   // of all places
	left   map[fifoID]*remains
}

// fifoID names a FIFO for as long as it exists.
type fifoID struct{ dev, ino uint64 }

// remains is what an earlier daemon has left of a FIFO.
type remains struct {
	start []byte // of a line, bytes that the FIFO does not hold any more
	place int    // of start, -1 if it has none
	step  record // what was under way, stepNone for nothing
	next  []byte // with stepCarry: start afterwards
	age   uint64 // daemons that came and went since
	slot  int    // the record that repeats step, -1 if none
}

// Steps of a record.
const (
	stepNone  uint64 = iota
	stepWrite        // entries are being written
	stepTake         // they are written, their bytes are being taken out of the FIFO
	stepCarry        // the start of a line is in its place and is being taken out of the FIFO
)

// record is one step in words.
type record struct {
	step         uint64
	fifo, log    fifoID
	offset, size uint64 // of the entries in the log; with stepCarry the place and the start's length afterwards
	taken        uint64 // bytes to take out of the FIFO
	first, mark  byte   // the first of them, and what is there in its place: see isTaken
}

// Where the two bytes of a record lie.
const (
	markAt  = 8 * 8
	firstAt = markAt + 1
)

const (
	journalMagic = 0x0047_4f4c_4450_4453 // SDPDLOG
	versionShift = 56                    // where the version is in the same word, a digit
	version      = 1
	journalPage  = 4096
	recordWords  = 9
	recordCount  = journalPage / (recordWords * 8)
	placeHeader  = 64
	maxAge       = 3 // restarts after which what nobody asked for is dropped
	maxPlaces    = 1 << 20
)

// openJournal reads what an earlier daemon has left at path and replaces the file.
func openJournal(path string, limit int) (*journal, error) {
	left, err := readJournal(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	fresh := path + ".new"
	f, err := os.OpenFile(fresh, os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	j := &journal{file: f, limit: limit, left: map[fifoID]*remains{}}
	for _, r := range left {
		j.limit = max(j.limit, len(r.start), len(r.next))
	}
	if err = j.fill(left); err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		j.close()
		os.Remove(fresh)
		return nil, err
	}
	return j, nil
}

// fill maps the first page and writes down again what was left.
func (j *journal) fill(left map[fifoID]*remains) (err error) {
	if _, err = j.file.WriteAt(make([]byte, journalPage), 0); err != nil { // so that the mapping finds room
		return err
	}
	j.page, err = unix.Mmap(int(j.file.Fd()), 0, journalPage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mmap %s: %w", j.file.Name(), err)
	}
	words := unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(j.page))), journalPage/8)
	for i := range recordCount {
		j.records = append(j.records, words[i*recordWords:(i+1)*recordWords])
		if i > 0 {
			j.free = append(j.free, i)
		}
	}
	words[0], words[1] = journalMagic|('0'+version)<<versionShift, uint64(j.placeSize())
	for id, r := range left {
		if r.age++; r.age > maxAge {
			continue
		}
		if err := j.keep(id, r); err != nil {
			return err
		}
	}
	return nil
}

// keep writes down what was left once more, until somebody asks for it.
func (j *journal) keep(id fifoID, r *remains) error {
	r.place, r.slot = -1, -1
	if text := max(len(r.start), len(r.next)); text > 0 {
		all := r.start
		if len(r.next) == text {
			all = r.next
		}
		r.place = j.newPlace()
		if err := j.writePlace(r.place, id, r.age, len(r.start), all); err != nil {
			return err
		}
	}
	if r.step.step != stepNone && len(j.free) > recordCount/2 {
		if r.step.step == stepCarry {
			r.step.offset = uint64(r.place)
		}
		r.slot = j.take()
		j.write(r.slot, r.step)
		j.mark(r.slot)[0] = r.step.mark
	}
	j.left[id] = r
	return nil
}

// CheckJournal looks at the journal path without changing anything: ErrFailedPrecondition when a release that is not known
// here wrote it.
func CheckJournal(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return ignoreMissing(err)
	}
	defer f.Close()
	head := make([]byte, 8)
	if _, err := f.ReadAt(head, 0); err != nil {
		return nil //nolint:nilerr // it is no journal
	}
	if err := checkHead(word(head, 0)); err != nil && !errors.Is(err, errNoJournal) {
		return fmt.Errorf("journal %s: %w", path, err)
	}
	return nil
}

// checkHead looks at the first word of a journal.
func checkHead(head uint64) error {
	if head<<8>>8 != journalMagic {
		return errNoJournal
	}
	if found := head>>versionShift - '0'; found != version {
		return fmt.Errorf("it has version %d, and this daemon knows version %d: start a release that knows it, or remove the file "+
			"when no pod runs: %w", found, version, errdefs.ErrFailedPrecondition)
	}
	return nil
}

var errNoJournal = errors.New("it is no journal")

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// readJournal returns nothing for a file that is missing or not a journal.
func readJournal(path string) (map[fifoID]*remains, error) {
	left := map[fifoID]*remains{}
	f, err := os.Open(path)
	if err != nil {
		return left, ignoreMissing(err)
	}
	defer f.Close()
	page := make([]byte, journalPage)
	_, err = f.ReadAt(page, 0)
	size := int64(word(page, 1))
	if err != nil {
		return left, nil
	}
	if err := checkHead(word(page, 0)); errors.Is(err, errNoJournal) {
		return left, nil
	} else if err != nil {
		return nil, err
	}
	if size <= placeHeader || size > maxLimit+2*journalPage {
		return left, nil
	}
	at := func(id fifoID) *remains {
		if left[id] == nil {
			left[id] = &remains{}
		}
		return left[id]
	}
	readPlaces(f, size, at)
	for i := 1; i < recordCount; i++ {
		r := readRecord(page[i*recordWords*8:])
		if r.step == stepNone || r.step > stepCarry {
			continue
		}
		if at(r.fifo).step = r; r.step == stepCarry {
			at(r.fifo).next = readPlace(f, size, r.offset, r.size)
		}
	}
	return left, nil
}

func readPlaces(f *os.File, size int64, at func(fifoID) *remains) {
	head := make([]byte, placeHeader)
	for place := uint64(0); ; place++ {
		if _, err := f.ReadAt(head, journalPage+int64(place)*size); err != nil {
			return
		}
		id := fifoID{word(head, 0), word(head, 1)}
		if text := readPlace(f, size, place, word(head, 2)); id != (fifoID{}) && len(text) > 0 {
			at(id).start, at(id).age = text, word(head, 3)
		}
	}
}

// readPlace returns nil when there are not length bytes.
func readPlace(f *os.File, size int64, place, length uint64) []byte {
	if length == 0 || length > uint64(size-placeHeader) || place > maxPlaces {
		return nil
	}
	text := make([]byte, length)
	if _, err := f.ReadAt(text, journalPage+int64(place)*size+placeHeader); err != nil {
		return nil
	}
	return text
}

func word(data []byte, i int) uint64 { return binary.NativeEndian.Uint64(data[i*8:]) }

func readRecord(data []byte) record {
	w := func(i int) uint64 { return word(data, i) }
	return record{
		step: w(0), fifo: fifoID{w(1), w(2)}, log: fifoID{w(3), w(4)},
		offset: w(5), size: w(6), taken: w(7), first: data[firstAt], mark: data[markAt],
	}
}

// isTaken reports whether the system call was made that takes bytes out of the FIFO. It reads
// the first of them into the record, where another byte was: the kernel takes the bytes and says so
// in one go, whatever kills the daemon.
func (r record) isTaken() bool { return r.mark == r.first }

// mark returns where to read the first byte of record slot; somewhere without one.
func (j *journal) mark(slot int) []byte {
	if j == nil || slot < 0 {
		return make([]byte, 1)
	}
	at := slot*recordWords*8 + markAt
	return j.page[at : at+1 : at+1]
}

// write stores r as record slot, not taken yet, its step last.
func (j *journal) write(slot int, r record) {
	if j == nil || slot < 0 {
		return
	}
	w := j.records[slot]
	w[1], w[2], w[3], w[4] = r.fifo.dev, r.fifo.ino, r.log.dev, r.log.ino
	w[5], w[6], w[7] = r.offset, r.size, r.taken
	at := slot * recordWords * 8
	j.page[at+firstAt], j.page[at+markAt] = r.first, ^r.first
	atomic.StoreUint64(&w[0], r.step)
}

// step goes on to another step of the same record.
func (j *journal) step(slot int, step uint64) {
	if j != nil && slot >= 0 {
		atomic.StoreUint64(&j.records[slot][0], step)
	}
}

// take returns a free record, -1 if there is none.
func (j *journal) take() int {
	if j == nil {
		return -1
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.free) == 0 {
		return -1
	}
	slot := j.free[len(j.free)-1]
	j.free = j.free[:len(j.free)-1]
	return slot
}

func (j *journal) give(slot int) {
	if j == nil || slot < 0 {
		return
	}
	j.step(slot, stepNone)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.free = append(j.free, slot)
}

// claim returns what was left of a FIFO, nil for nothing. The caller gives its slot back when
// it has finished the step, and owns its place.
func (j *journal) claim(id fifoID) *remains {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.left[id]
	delete(j.left, id)
	return r
}

// extend stores what follows the first length bytes of the start of a line in its place, a
// new one if place is -1. It counts for nothing until setLength. Place is -1 without a
// journal or without room.
func (j *journal) extend(place, length int, more []byte) int {
	if j == nil || length+len(more) > j.limit {
		return -1
	}
	if place < 0 {
		if length > 0 {
			return -1 // the beginning found no room
		}
		j.mu.Lock()
		place = j.newPlace()
		j.mu.Unlock()
	}
	var err error
	if length == 0 { // the head as well, so that setLength finds room
		err = j.writePlace(place, fifoID{}, 0, 0, more)
	} else {
		_, err = j.file.WriteAt(more, j.offset(place)+placeHeader+int64(length))
	}
	if err != nil {
		j.drop(place)
		return -1
	}
	return place
}

// setLength makes the first length bytes of a place count.
func (j *journal) setLength(place int, id fifoID, length int) {
	if j != nil && place >= 0 {
		_ = j.writePlace(place, id, 0, length, nil)
	}
}

// drop frees a place.
func (j *journal) drop(place int) {
	if j == nil || place < 0 {
		return
	}
	_ = j.writePlace(place, fifoID{}, 0, 0, nil)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.places = append(j.places, place)
}

func (j *journal) newPlace() int {
	if n := len(j.places); n > 0 {
		place := j.places[n-1]
		j.places = j.places[:n-1]
		return place
	}
	j.count++
	return j.count - 1
}

// writePlace writes the head of a place, which says that the first length bytes count, and text.
func (j *journal) writePlace(place int, id fifoID, age uint64, length int, text []byte) error {
	data := make([]byte, placeHeader, placeHeader+len(text))
	for i, w := range []uint64{id.dev, id.ino, uint64(length), age} {
		binary.NativeEndian.PutUint64(data[i*8:], w)
	}
	_, err := j.file.WriteAt(append(data, text...), j.offset(place))
	return err
}

// placeSize is a multiple of the page size, so that a place that is used little costs a page.
func (j *journal) placeSize() int64 {
	return (int64(placeHeader+j.limit) + journalPage - 1) / journalPage * journalPage
}

func (j *journal) offset(place int) int64 { return journalPage + int64(place)*j.placeSize() }

// close leaves the file for the next daemon.
func (j *journal) close() {
	if j == nil {
		return
	}
	if j.page != nil {
		_ = unix.Munmap(j.page)
	}
	j.file.Close()
}
