package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/hashicorp/yamux"
)

// tunnelConn is the net.Conn below yamux: binary messages in both directions, as one stream of bytes.
type tunnelConn struct {
	agent  *agent
	reader *io.PipeReader
	writer *io.PipeWriter
	socket *websocket.Conn
	once   sync.Once
}

func (a *agent) startYamux(hello map[string]any) {
	a.send("gateway_hello_ack", "", map[string]any{"use_yamux": true})
	config := yamuxConfig(hello)
	reader, writer := io.Pipe()
	conn := &tunnelConn{agent: a, reader: reader, writer: writer, socket: a.socket}
	session, err := yamux.Client(conn, config)
	if err != nil {
		log.Printf("yamux: %v", err)
		return
	}
	a.tunnel = conn
	go func() {
		for {
			stream, err := session.AcceptStream()
			if err != nil {
				log.Printf("yamux ended: %v", err)
				return
			}
			go a.serveStream(stream, config.ConnectionWriteTimeout)
		}
	}()
}

func (c *tunnelConn) feed(data []byte)                   { c.writer.Write(data) }
func (c *tunnelConn) Read(b []byte) (int, error)         { return c.reader.Read(b) }
func (c *tunnelConn) LocalAddr() net.Addr                { return c.socket.LocalAddr() }
func (c *tunnelConn) RemoteAddr() net.Addr               { return c.socket.RemoteAddr() }
func (c *tunnelConn) SetDeadline(time.Time) error        { return nil }
func (c *tunnelConn) SetReadDeadline(time.Time) error    { return nil }
func (c *tunnelConn) SetWriteDeadline(t time.Time) error { return nil }

func (c *tunnelConn) Write(b []byte) (int, error) {
	c.agent.writing.Lock()
	defer c.agent.writing.Unlock()
	if err := c.socket.WriteMessage(websocket.BinaryMessage, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (c *tunnelConn) Close() error {
	c.once.Do(func() { c.writer.CloseWithError(io.EOF); c.reader.Close() })
	return nil
}

// serveStream reads the version-1 header and copies both ways; a target that cannot be dialled shows as FIN only.
func (a *agent) serveStream(stream *yamux.Stream, timeout time.Duration) {
	defer stream.Close()
	var fixed [4]byte
	if _, err := io.ReadFull(stream, fixed[:]); err != nil {
		return
	}
	var names [3]string
	for i := range names {
		var size [2]byte
		if _, err := io.ReadFull(stream, size[:]); err != nil {
			return
		}
		name := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(stream, name); err != nil {
			return
		}
		names[i] = string(name)
	}
	key := fmt.Sprintf("%s.%s:%d", names[0], names[1], binary.BigEndian.Uint16(fixed[2:]))
	network := "tcp"
	if fixed[1] == 2 {
		network = "udp"
	}
	target, known := a.targets[key]
	if !known {
		log.Printf("no target %s", key)
		return
	}
	conn, err := net.DialTimeout(network, target, timeout)
	if err != nil {
		log.Printf("dial %s: %v", key, err)
		return
	}
	defer conn.Close()
	done := make(chan struct{}, 2)
	go func() {
		io.Copy(conn, stream)
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.CloseWrite()
		}
		done <- struct{}{}
	}()
	go func() {
		io.Copy(stream, conn)
		stream.Close()
		done <- struct{}{}
	}()
	<-done
	<-done
}
