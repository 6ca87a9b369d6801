from django.urls import path

from mailpanel.server import monitoring
from mailpanel.server.views import status, trace

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
    path("status/<slug:key>/", status.probe, name="probe"),
]
