package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

// report says what happened on one stream; checksums are SHA-256.
type report struct {
	ID       uint32 `json:"id"`
	Sent     int64  `json:"sent"`
	Received int64  `json:"received"`
	SHA256   string `json:"sha256"` // of what was received; push: of what was sent
	Match    bool   `json:"match"`  // send: the echo equals the payload
	Error    string `json:"error,omitempty"`
}

func summarise(reports []report) (map[string]any, bool) {
	ok := true
	var sent, received int64
	for _, r := range reports {
		ok = ok && r.Error == "" && r.Match
		sent += r.Sent
		received += r.Received
	}
	return map[string]any{"streams": reports, "sent": sent, "received": received}, ok
}

// accept serves streams until the session ends or the wanted number is done.
func (o options) accept(session *yamux.Session) (map[string]any, bool) {
	var (
		group   sync.WaitGroup
		lock    sync.Mutex
		reports = []report{}
	)
	for count := 1; ; count++ {
		stream, err := session.AcceptStream()
		if err != nil {
			break
		}
		group.Add(1)
		go func() {
			defer group.Done()
			r := o.serve(stream)
			lock.Lock()
			defer lock.Unlock()
			reports = append(reports, r)
		}()
		if count == o.goAwayAfter {
			if err := session.GoAway(); err != nil {
				break
			}
		}
		if count == o.streams {
			break
		}
	}
	group.Wait()
	return summarise(reports)
}

// serve reads a stream to its end; in echo mode it writes everything back before it closes its side.
func (o options) serve(stream *yamux.Stream) report {
	defer stream.Close()
	r := report{ID: stream.StreamID(), Match: true}
	sum := sha256.New()
	buffer := make([]byte, o.chunk)
	for {
		if o.readDelay > 0 {
			time.Sleep(o.readDelay)
		}
		n, err := stream.Read(buffer)
		r.Received += int64(n)
		sum.Write(buffer[:n])
		if n > 0 && o.mode == "echo" {
			written, werr := stream.Write(buffer[:n])
			r.Sent += int64(written)
			if werr != nil {
				r.Error = werr.Error()
				return r
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				r.Error = err.Error()
			}
			r.SHA256 = hex.EncodeToString(sum.Sum(nil))
			return r
		}
	}
}

// open runs the wanted number of streams, a bounded number of them at a time.
func (o options) open(session *yamux.Session) (map[string]any, bool) {
	var group sync.WaitGroup
	reports := make([]report, o.streams)
	slots := make(chan struct{}, max(o.parallel, 1))
	for i := range o.streams {
		slots <- struct{}{}
		group.Add(1)
		go func() {
			defer func() { <-slots; group.Done() }()
			reports[i] = o.exchange(session, int64(i))
		}()
	}
	group.Wait()
	return summarise(reports)
}

// exchange sends one pseudo-random payload, half-closes and, in send mode, verifies its echo.
func (o options) exchange(session *yamux.Session, seed int64) report {
	stream, err := session.OpenStream()
	if err != nil {
		return report{Error: err.Error()}
	}
	r := report{ID: stream.StreamID()}
	sentSum, gotSum := sha256.New(), sha256.New()
	written := make(chan error, 1)
	go func() {
		payload := io.LimitReader(rand.New(rand.NewSource(seed)), o.bytes)
		n, err := io.CopyBuffer(onlyWriter{stream}, io.TeeReader(payload, sentSum), make([]byte, o.chunk))
		r.Sent = n
		if closeErr := stream.Close(); err == nil {
			err = closeErr
		}
		written <- err
	}()
	var readErr error
	if o.mode == "send" {
		r.Received, readErr = io.Copy(gotSum, stream)
	}
	if err := errors.Join(<-written, readErr); err != nil {
		r.Error = err.Error()
	}
	sent, got := hex.EncodeToString(sentSum.Sum(nil)), hex.EncodeToString(gotSum.Sum(nil))
	r.SHA256, r.Match = got, sent == got
	if o.mode == "push" {
		r.SHA256, r.Match = sent, true
	}
	return r
}

// onlyWriter hides ReadFrom, so that io.CopyBuffer uses our chunk size.
type onlyWriter struct{ io.Writer }
