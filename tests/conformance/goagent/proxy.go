package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/url"
	"strings"

	"github.com/gorilla/websocket"
)

func (a *agent) body(id string) *io.PipeWriter {
	a.bodiesMu.Lock()
	defer a.bodiesMu.Unlock()
	return a.bodies[id]
}

// bodyChunk blocks the read loop until the API server has taken the bytes.
func (a *agent) bodyChunk(m message) {
	data, err := base64.StdEncoding.DecodeString(text(m.Payload, "data"))
	if body := a.body(m.RequestID); body != nil && err == nil {
		body.Write(data)
	}
}

func (a *agent) proxyRequest(m message) {
	if m.RequestID == "" || m.Payload == nil {
		log.Print("proxy_request dropped")
		return
	}
	var body io.Reader
	if streaming, _ := m.Payload["use_streaming"].(bool); streaming {
		reader, writer := io.Pipe()
		a.bodiesMu.Lock()
		a.bodies[m.RequestID] = writer
		a.bodiesMu.Unlock()
		body = reader
	} else if given := text(m.Payload, "body"); given != "" {
		data := []byte(given)
		if strings.EqualFold(text(m.Payload, "body_encoding"), "base64") {
			data, _ = base64.StdEncoding.DecodeString(given)
		}
		body = bytes.NewReader(data)
	}
	go a.serve(m, body)
}

func (a *agent) serve(m message, body io.Reader) {
	defer func() {
		a.bodiesMu.Lock()
		delete(a.bodies, m.RequestID)
		a.bodiesMu.Unlock()
	}()
	streamed, _ := m.Payload["supports_response_streaming"].(bool)
	streamed = streamed && a.streaming
	response, err := a.ask(m.Payload, body)
	if err != nil {
		a.fail(m.RequestID, streamed, "kubernetes API request failed: "+err.Error())
		return
	}
	defer response.Body.Close()
	for _, name := range []string{
		"Connection", "Transfer-Encoding", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailers", "Upgrade",
	} {
		response.Header.Del(name)
	}
	if streamed {
		a.stream(m.RequestID, response)
		return
	}
	whole, err := io.ReadAll(response.Body)
	if err != nil {
		a.fail(m.RequestID, false, err.Error())
		return
	}
	if len(whole) >= 10240 && a.tunnel == nil {
		a.binary(m.RequestID, response, whole)
		return
	}
	payload := map[string]any{"status": response.StatusCode, "headers": response.Header}
	if len(whole) > 0 {
		payload["body"], payload["encoding"] = base64.StdEncoding.EncodeToString(whole), "base64"
	}
	a.send("proxy_response", m.RequestID, payload)
}

func (a *agent) ask(payload map[string]any, body io.Reader) (*http.Response, error) {
	target, err := url.Parse(a.kubeURL)
	if err != nil {
		return nil, err
	}
	target.Path = text(payload, "path")
	if !strings.HasPrefix(target.Path, "/") {
		target.Path = "/" + target.Path
	}
	target.RawQuery = text(payload, "query")
	request, err := http.NewRequest(strings.ToUpper(text(payload, "method")), target.String(), body)
	if err != nil {
		return nil, err
	}
	headers, _ := payload["headers"].(map[string]any)
	for name, value := range headers {
		values, ok := value.([]any)
		if !ok {
			values = []any{value}
		}
		for _, one := range values {
			if s, ok := one.(string); ok {
				request.Header.Add(name, s)
			}
		}
	}
	return a.kube.Do(request)
}

func (a *agent) stream(id string, response *http.Response) {
	a.send("proxy_response_header", id, map[string]any{"status": response.StatusCode, "headers": response.Header})
	buffer := make([]byte, 32*1024)
	for {
		n, err := response.Body.Read(buffer)
		if n > 0 {
			a.send("proxy_response_chunk", id, map[string]any{
				"data": base64.StdEncoding.EncodeToString(buffer[:n]), "encoding": "base64", "size": n,
			})
		}
		if err == io.EOF {
			a.send("proxy_response_end", id, map[string]any{})
			return
		}
		if err != nil {
			a.fail(id, true, err.Error())
			return
		}
	}
}

func (a *agent) fail(id string, streamed bool, said string) {
	kind := "proxy_error"
	if streamed {
		kind = "proxy_response_abort"
	}
	a.send(kind, id, map[string]any{"error": said})
}

func (a *agent) binary(id string, response *http.Response, body []byte) {
	headers, _ := json.Marshal(response.Header)
	var frame bytes.Buffer
	binary.Write(&frame, binary.BigEndian, uint16(len(id)))
	frame.WriteString(id)
	binary.Write(&frame, binary.BigEndian, uint32(response.StatusCode))
	binary.Write(&frame, binary.BigEndian, uint32(len(headers)))
	frame.Write(headers)
	frame.Write(body)
	a.writing.Lock()
	defer a.writing.Unlock()
	a.socket.WriteMessage(websocket.BinaryMessage, frame.Bytes())
}
