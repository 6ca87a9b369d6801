from django.urls import path

from mailpanel.server import monitoring, views

app_name = "server"
urlpatterns = [
    path("healthz", monitoring.healthz, name="healthz"),
    path("metrics", monitoring.metrics, name="metrics"),
    path("status/", views.status, name="status"),
    path("status/check/", views.check, name="check"),
    path("status/incidents/", views.incidents, name="incidents"),
    path("status/alerts/", views.alert_list, name="alerts"),
    path("status/alerts/trial/", views.alert_trial, name="alert_trial"),
    path("status/<slug:key>/", views.probe, name="probe"),
]
