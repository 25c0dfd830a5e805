// What dev/contracts/grpc.sh proves with the generated clients: a program in another language keeps a copy of the catalogue.
package contracts

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	health "google.golang.org/grpc/health/grpc_health_v1"
	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	pb "shopkeeper.dev/contracts/grpc/search"
)

// catalogue is a copy: the title of each product, and the version of whatever was told.
type catalogue struct {
	t        *testing.T
	titles   map[string]string
	versions map[string]int64
	// exported is the last sku of the export, which goes through them in their order.
	exported string
}

func newCatalogue(t *testing.T) *catalogue {
	return &catalogue{t: t, titles: map[string]string{}, versions: map[string]int64{}}
}

func (c *catalogue) product(product *pb.Product) {
	c.version(product.Sku, product.Version)
	c.titles[product.Sku] = product.Title
}

func (c *catalogue) version(sku string, version int64) {
	if version < c.versions[sku] {
		c.t.Errorf("%s went back from version %d to %d", sku, c.versions[sku], version)
	}
	c.versions[sku] = version
}

func (c *catalogue) changes(changes []*pb.Change) {
	for _, change := range changes {
		switch change := change.Change.(type) {
		case *pb.Change_Product:
			c.product(change.Product)
		case *pb.Change_Removal:
			c.version(change.Removal.Sku, change.Removal.Version)
			delete(c.titles, change.Removal.Sku)
		default:
			c.t.Errorf("a change that is none: %v", change)
		}
	}
}

// export takes so many messages from a position, or all; it returns the last.
func (c *catalogue) export(client pb.SearchServiceClient, position string, messages int) (last *pb.ExportResponse) {
	c.t.Helper()
	ctx, leave := context.WithTimeout(c.t.Context(), patience)
	defer leave()
	stream, err := client.Export(ctx, &pb.ExportRequest{Position: position})
	for range messages {
		if err == nil {
			last, err = stream.Recv()
		}
		if err != nil {
			c.t.Fatal(err)
		}
		for _, product := range last.Products {
			if product.Sku <= c.exported {
				c.t.Errorf("%s was exported after %s", product.Sku, c.exported)
			}
			c.exported = product.Sku
			c.product(product)
		}
		if last.WatchPosition != "" {
			return last
		}
	}
	return last
}

// watch takes changes from a position until the copy is as expected; it returns where it is, and the stream.
func (c *catalogue) watch(client pb.SearchServiceClient, position string, expected map[string]string) (string, pb.SearchService_WatchClient) {
	c.t.Helper()
	ctx, leave := context.WithTimeout(c.t.Context(), patience)
	c.t.Cleanup(leave)
	stream, err := client.Watch(ctx, &pb.WatchRequest{Position: position})
	for err == nil && !maps.Equal(c.titles, expected) {
		var response *pb.WatchResponse
		if response, err = stream.Recv(); err == nil {
			c.changes(response.Changes)
			position = response.Position
		}
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return position, stream
}

// shop is search with an administrator who writes products, and what the copy should be.
type shop struct {
	*replica
	token    string
	expected map[string]string
}

// body is a product without its first brace.
func body(title string) string {
	return fmt.Sprintf(`"title":%q,"description":"","brand":"B","category":"C","price":{"amount":1999,"currency":"EUR"}}`, title)
}

func (s *shop) fill(count int) {
	var lines strings.Builder
	for n := range count {
		sku, title := fmt.Sprintf("LAMP-%04d", n), fmt.Sprintf("Lamp %d", n)
		fmt.Fprintf(&lines, "{%q:%q,%s\n", "sku", sku, body(title))
		s.expected[sku] = title
	}
	s.send("POST", "/products/import", []byte(lines.String()), s.token, 200)
}

func (s *shop) keep(sku, title string, status int) {
	s.send("PUT", "/products/"+sku, []byte("{"+body(title)), s.token, status)
	s.expected[sku] = title
}

func (s *shop) remove(sku string) {
	s.send("DELETE", "/products/"+sku, nil, s.token, 204)
	delete(s.expected, sku)
}

func TestACopyOfTheCatalogueIsWholeThoughItsStreamsBreakOffAndTheReplicaGoes(t *testing.T) {
	usersURL, token := administrator(t)
	settings := append(backEnds(t), "USERS_URL="+usersURL)
	if err := search(t, "migrate", settings).Run(); err != nil {
		t.Fatal(err)
	}
	s := &shop{start(t, settings), token, map[string]string{}}
	s.fill(250)
	client, copied := pb.NewSearchServiceClient(s.dial()), newCatalogue(t)

	first := copied.export(client, "", 1)
	if first.WatchPosition != "" || len(copied.titles) == 0 {
		t.Fatalf("the first message of more than one has %d products and %v", len(copied.titles), first)
	}
	// Before and behind the place of the export.
	s.keep("LAMP-0000", "Changed", 200)
	s.keep("VASE", "New", 201)
	s.remove("LAMP-0001")
	last := copied.export(client, first.Position, 10)
	if maps.Equal(copied.titles, s.expected) {
		t.Error("the export knows what changed behind its place")
	}
	position, stream := copied.watch(client, last.WatchPosition, s.expected)

	other := start(t, settings)
	s.stop()
	for err := error(nil); ; _, err = stream.Recv() {
		if err != nil {
			wantRefused(t, err, codes.Unavailable, "stream_ended")
			break
		}
	}
	s.replica = other
	s.remove("VASE")
	s.keep("LAMP-0001", "Back again", 201)
	copied.watch(pb.NewSearchServiceClient(other.dial()), position, s.expected)
	other.stop()
}

// wantRefused wants the code of gRPC, and the code of the problem in the details.
func wantRefused(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	answer := status.Convert(err)
	for _, detail := range answer.Details() {
		if info, is := detail.(*errdetails.ErrorInfo); is && info.Reason == reason && answer.Code() == code {
			return
		}
	}
	t.Errorf("%v with %v, expected %s and the reason %s", err, answer.Details(), code, reason)
}

func TestThePortSaysWhatItServesHowItIsAndWhatIsWrong(t *testing.T) {
	usersURL, _ := administrator(t)
	settings := append(backEnds(t), "USERS_URL="+usersURL)
	if err := search(t, "migrate", settings).Run(); err != nil {
		t.Fatal(err)
	}
	r := start(t, settings)
	conn := r.dial()
	for _, service := range []string{"", pb.SearchService_ServiceDesc.ServiceName} {
		answer, err := health.NewHealthClient(conn).Check(t.Context(), &health.HealthCheckRequest{Service: service})
		if err != nil || answer.Status != health.HealthCheckResponse_SERVING {
			t.Errorf("the health of %q: %v %v", service, answer, err)
		}
	}
	if services := listed(t, reflection.NewServerReflectionClient(conn)); !strings.Contains(services, pb.SearchService_ServiceDesc.ServiceName) {
		t.Errorf("reflection names %s", services)
	}
	stream, err := pb.NewSearchServiceClient(conn).Watch(t.Context(), &pb.WatchRequest{Position: "nonsense"})
	if err == nil {
		_, err = stream.Recv()
	}
	wantRefused(t, err, codes.InvalidArgument, "invalid")
	r.stop()
}

// listed are the services that reflection names.
func listed(t *testing.T, client reflection.ServerReflectionClient) (names string) {
	t.Helper()
	stream, err := client.ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	asked := &reflection.ServerReflectionRequest{MessageRequest: &reflection.ServerReflectionRequest_ListServices{}}
	if err := stream.Send(asked); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.CloseSend()
	for _, service := range answer.GetListServicesResponse().GetService() {
		names += service.Name + " "
	}
	return names
}
