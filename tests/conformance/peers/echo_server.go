// Says in x-seen which target it saw; writes a line for each request to the file of the second argument.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	seen, err := os.OpenFile(os.Args[2], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(seen, "%s %s\n", r.Method, r.RequestURI)
		size, _ := io.Copy(io.Discard, r.Body)
		w.Header().Set("x-seen", r.RequestURI)
		fmt.Fprintf(w, "%d\n", size)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], handler))
}
