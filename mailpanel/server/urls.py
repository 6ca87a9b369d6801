from django.urls import path

from mailpanel.server import monitoring
from mailpanel.server.views import filter, quarantine, queue, sending, status, trace

app_name = "server"
urlpatterns = [
    path("healthz", monitoring.healthz, name="healthz"),
    path("metrics", monitoring.metrics, name="metrics"),
    path("messages/", trace.messages, name="messages"),
    path("messages/<int:pk>/", trace.message, name="message"),
    path("traffic/", trace.all_traffic, name="traffic"),
    path("status/", status.status, name="status"),
    path("status/check/", status.check, name="check"),
    path("status/incidents/", status.incidents, name="incidents"),
    path("status/alerts/", status.alert_list, name="alerts"),
    path("status/alerts/trial/", status.alert_trial, name="alert_trial"),
    path("filter/", filter.server_filter, name="filter"),
    path("quarantine/", quarantine.held, name="quarantine"),
    path("quarantine/act/", quarantine.held_act, name="quarantine_act"),
    path("quarantine/<str:slip>/", quarantine.held_message, name="quarantine_message"),
    path("status/<slug:key>/", status.probe, name="probe"),
    path("sending/", sending.senders, name="sending"),
    path("mailboxes/<str:email>/sending/", sending.mailbox_limit, name="mailbox_limit"),
    path("domains/<str:name>/sending/", sending.domain_limit, name="domain_limit"),
    path("queue/", queue.waiting, name="queue"),
    path("queue/do/", queue.do, name="queue_do"),
    path("queue/<str:identity>/", queue.message, name="queue_message"),
]
